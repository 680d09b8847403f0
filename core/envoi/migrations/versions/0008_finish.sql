-- What providers, plugins and channels still lacked: every column has a default, no row is read.
-- Grants and policies are in 0008_finish.py.

SELECT 1;
