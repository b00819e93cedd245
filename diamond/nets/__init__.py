"""Networks as modules; they know no diffusion, no data and no stages."""
