"""The proof of what is told of orders that live: SIPS' own truth is compared with the facts, while workers are killed."""
