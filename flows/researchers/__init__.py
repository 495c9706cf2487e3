"""Several researchers at work on one session: who does what, and how their changes come together."""
