"""The API described for programs: `/openapi.json`."""
