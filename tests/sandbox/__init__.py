"""The stand-in for SIPS, held against SIPS' description; mirrors worker/sandbox."""
