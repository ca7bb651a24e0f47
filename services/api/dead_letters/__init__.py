"""What was given up, as the head of the cell sees it and deals with it."""
