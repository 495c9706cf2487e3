#!/bin/bash
# Ends what start.sh or start_cluster.sh started below FOLDER, by pid file; with KILL after three seconds.
folder=$1
for file in "$folder"/run/slurmd*.pid "$folder"/run/slurmctld.pid "$folder"/run/slurmdbd.pid \
  "$folder"/mysql/pid "$folder"/munge/munged.pid; do
  [ -s "$file" ] || continue
  pid=$(cat "$file")
  kill "$pid" 2> /dev/null || continue
  for _ in $(seq 30); do
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2> /dev/null
done
true
