"""What a precision policy does to a diffusion transformer's images, on the golden model."""
