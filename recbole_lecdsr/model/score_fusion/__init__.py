"""Late fusion of count-based and text-based scores with a network's scores."""
