-- Running sessions whose lease has expired.
return redis.call('ZRANGEBYSCORE', 'running', '-inf', time_of(ARGV[1]))
