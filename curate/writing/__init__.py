"""Writing datasets: without the rejected masks, or as people left them."""
