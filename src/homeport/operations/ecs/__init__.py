"""The operations of Amazon ECS, one module per kind of resource."""
