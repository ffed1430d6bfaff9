"""Sources and staging models of dbt, made from what taps declare and where targets load it; as text, without dbt."""
