"""How tasks, containers and container instances change when something is reported."""
