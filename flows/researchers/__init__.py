"""Several researchers at work on one session, and how their changes come together."""
