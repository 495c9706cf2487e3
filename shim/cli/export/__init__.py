"""`wildloop export`: a session's runs in the formats of other tools."""
