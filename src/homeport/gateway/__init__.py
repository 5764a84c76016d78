"""The agents' websockets: ACS and TCS as Amazon's container agent speaks them."""
