"""Messages between control plane and container agent (ACS and TCS), typed by hand.

`acs` and `tcs` hold the messages, `payload` the task shapes inside a payload, `frames` the text
form. No sockets, no sessions: those are `gateway` and `agent`.
"""
