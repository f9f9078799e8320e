"""What helps to teach with the course, without PyTorch: plans, slides, handouts, learners' results."""
