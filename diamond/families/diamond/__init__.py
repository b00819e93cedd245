"""DIAMOND: diffusion of the next frame, and an LSTM for its reward and end."""
