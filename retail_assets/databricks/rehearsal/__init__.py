"""A Databricks workspace to rehearse on: its REST calls on a local port, its clusters as local processes."""
