"""Example projects, as data: `wildloop demo` copies one."""
