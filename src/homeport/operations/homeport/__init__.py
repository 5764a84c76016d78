"""Operations of Homeport's own namespace: questions that ECS has no words for."""
