"""Label Studio: tasks out, exports back."""
