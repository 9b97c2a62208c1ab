"""What `doctor` looks at, one small function each. Looking never writes; a finding may bring its repair."""
