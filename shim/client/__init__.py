"""A typed client of the HTTP API, for the command line, the MCP tools, and users' own programs."""
