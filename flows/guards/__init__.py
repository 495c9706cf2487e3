"""What agents may not do, enforced: protected files, breaches of protocol, leaked secrets."""
