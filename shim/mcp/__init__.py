"""Wildloop's tools for agents, over the Model Context Protocol (`wildloop mcp`)."""
