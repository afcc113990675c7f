-- Fix the model version of jobs that named only a label: a running job keeps its version.
--
-- ARGV: prefix, version, then the jobs.
-- Keys: job hash.
-- Gives: for each job the version that it runs on; the asked one for a job that is gone.
-- Guarantee: the first pin of a job wins, whoever asks. A job that is gone stays gone.
local versions = {}
for i = 3, #ARGV do
  local key = job_key(ARGV[i])
  if redis.call('EXISTS', key) == 1 then redis.call('HSETNX', key, 'version', ARGV[2]) end
  versions[#versions + 1] = redis.call('HGET', key, 'version') or ARGV[2]
end
return versions
