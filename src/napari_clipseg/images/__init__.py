"""From any image to what the model sees, and from its maps to labels; numpy alone."""
