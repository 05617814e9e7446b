"""The chaos proof: commands in, outcomes out and orders at SIPS are counted while everything around the workers breaks."""
