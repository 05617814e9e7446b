"""What the command line tells of orders, and lets a person decide about them."""
