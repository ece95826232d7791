"""A page that shows masked diffusion think: state and shelf, logic and render, tabs on top."""
