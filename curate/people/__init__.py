"""What people decide, how they are asked, and what follows from it."""
