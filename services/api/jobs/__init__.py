"""Jobs as anyone may follow them."""
