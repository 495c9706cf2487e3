"""The built-in agent: no LLM. It plans, searches the space of wildloop.toml, and reflects."""
