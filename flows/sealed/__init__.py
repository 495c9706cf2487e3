"""The sealed value of what is confirmed: on data that neither agent nor runs could read."""
