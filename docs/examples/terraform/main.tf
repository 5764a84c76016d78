# A service on container instances and one on Fargate, in a Homeport that `homeport up` runs.
#   terraform init && terraform apply && terraform plan -detailed-exitcode
# docs/tools.md says what was tried.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 5.100" }
  }
}

provider "aws" {
  region     = "us-east-1"
  access_key = "any"
  secret_key = "any"

  # Homeport has ECS and no other service of AWS: no STS, no IAM, no instance metadata.
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true

  endpoints {
    ecs = "http://127.0.0.1:4566"
  }
}

variable "image" {
  default = "nginx"
}

variable "command" {
  type    = list(string)
  default = null
}

variable "desired_count" {
  default = 2
}

locals {
  container = merge(
    {
      name         = "app"
      image        = var.image
      essential    = true
      memory       = 64
      environment  = [{ name = "STAGE", value = "test" }]
      portMappings = [{ containerPort = 80 }]
    },
    var.command == null ? {} : { command = var.command },
  )
}

# On the container instances that `homeport up` starts, which are in the cluster `default`.
resource "aws_ecs_task_definition" "web" {
  family                = "web"
  container_definitions = jsonencode([local.container])
}

resource "aws_ecs_service" "web" {
  name                  = "web"
  cluster               = "default"
  task_definition       = aws_ecs_task_definition.web.arn
  desired_count         = var.desired_count
  launch_type           = "EC2"
  wait_for_steady_state = true

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  ordered_placement_strategy {
    type  = "spread"
    field = "attribute:ecs.availability-zone"
  }

  tags = { team = "shop" }
}

# On Fargate's local pool, in a cluster of its own.
resource "aws_ecs_cluster" "shop" {
  name = "shop"

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "shop" {
  cluster_name       = aws_ecs_cluster.shop.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]

  default_capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }
}

resource "aws_ecs_task_definition" "job" {
  family                   = "job"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  container_definitions    = jsonencode([local.container])
}

resource "aws_ecs_service" "job" {
  name                  = "job"
  cluster               = aws_ecs_cluster.shop.arn
  task_definition       = aws_ecs_task_definition.job.arn
  desired_count         = var.desired_count
  platform_version      = "LATEST"
  wait_for_steady_state = true

  capacity_provider_strategy {
    capacity_provider = "FARGATE_SPOT"
    weight            = 1
  }

  network_configuration {
    subnets = ["subnet-0123456789abcdef0"] # any name: Homeport has no VPC
  }

  depends_on = [aws_ecs_cluster_capacity_providers.shop]
}
