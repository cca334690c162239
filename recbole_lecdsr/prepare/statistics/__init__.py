"""Statistics of a pair: interactions and items come in; measures, warnings, and Markdown, JSON and SVG files go out."""
