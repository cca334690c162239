"""Statistics of a prepared pair as JSON, Markdown and SVG."""
