"""What is done over all repositories of a workspace (DESIGN section 18)."""
