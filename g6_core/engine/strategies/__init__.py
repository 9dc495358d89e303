"""Entry strategies, one module each; the registry maps a YAML name to one."""
