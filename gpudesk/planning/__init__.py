"""The planner on the desk as it is: what a plan stands on, who answers the screen, and what loads teach."""
