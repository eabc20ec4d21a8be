#!/usr/bin/env bats
# Two hosts: network namespaces with a cable between them, each with a host name of its own. They share the disk. Inference by mpirun and
# in shards, and training with both kinds of sums, over TCP.

bats_require_minimum_version 1.5.0

setup_file() {
  export PATH="$PIPEFORMER_BIN:$PATH"
  export DATA="$BATS_FILE_TMPDIR/data" A="pf$$a" B="pf$$b"
  able || return 0
  "$BATS_TEST_DIRNAME/../../scripts/make-testdata" "$DATA"
  # In the place of ssh: a command on the host that an address is of.
  cat > "$BATS_FILE_TMPDIR/rsh" <<END
#!/bin/sh
case \$1 in 10.99.7.1) host=$A ;; 10.99.7.2) host=$B ;; *) exit 9 ;; esac
shift
echo "\$host" >> $BATS_FILE_TMPDIR/log
exec ip netns exec \$host unshare --uts sh -c "hostname \$host; \$*"
END
  chmod +x "$BATS_FILE_TMPDIR/rsh"
  ip link add "$A" type veth peer name "$B"
  n=0
  for host in "$A" "$B"; do
    n=$((n + 1))
    ip link set "$host" netns "$host"
    ip -n "$host" link set lo up
    ip -n "$host" link set $host up
    ip -n "$host" addr add "10.99.7.$n/24" dev "$host"
  done
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_plm_rsh_agent="$BATS_FILE_TMPDIR/rsh"
  export OMPI_MCA_btl=tcp,self OMPI_MCA_btl_tcp_if_include=10.99.7.0/24 OMPI_MCA_oob_tcp_if_include=10.99.7.0/24
}

able() {
  [ "$(id -u)" = 0 ] && command -v mpirun ip unshare > /dev/null && [ -e "$PIPEFORMER_BIN/../lib/libpipeformer_mpi.so" ] || return 1
  ! ldd "$PIPEFORMER_BIN/train" | grep -qE 'lib(asan|tsan)' || return 1
  ip netns add "$A" 2> /dev/null && ip netns add "$B" 2> /dev/null
}

teardown_file() {
  ip netns del "$A" 2> /dev/null || true
  ip netns del "$B" 2> /dev/null || true
}

setup() {
  [ -e "$DATA" ] || skip "needs root, network namespaces and Open MPI"
  cd "$BATS_TEST_TMPDIR" || exit 1
}

on() {  # on HOST COMMAND...
  ip netns exec "$1" unshare --uts sh -c "hostname $1; exec \"\$@\"" sh "${@:2}"
}
both() {  # both RANKS-EACH COMMAND...
  on "$A" timeout 100 mpirun --host "10.99.7.1:$1,10.99.7.2:$1" -x PATH "${@:2}"
}

@test "the ranks are on two hosts that reach each other by the cable only" {
  both 1 hostname | sort > names
  printf '%s\n' "$A" "$B" | sort | cmp - names
  [ -s "$BATS_FILE_TMPDIR/log" ]
  run ! ping -c 1 -W 1 10.99.7.2
}

@test "inference: the bytes of one process" {
  decode=(decode -m "$DATA/model.h5" --batch-rows 20 --max-length 8 --beam 3 "$DATA/text.en.npy")
  "${decode[@]}" -o one.npy
  both 1 "${decode[@]}" -o two.npy
  cmp one.npy two.npy
  both 2 "${decode[@]}" < /dev/null | cmp - one.npy
  both 1 encode -m "$DATA/model.h5" --batch-rows 100 < <(cat "$DATA/text.en.npy") | cmp - <(encode -m "$DATA/model.h5" "$DATA/text.en.npy")
  sent=$(on "$A" cat "/sys/class/net/$A/statistics/tx_bytes")
  ((sent > 100000))
}

@test "shards: each host does its own" {
  decode=(decode -m "$DATA/model.h5" --max-length 8 --sample --seed 2)
  on "$A" "$BATS_TEST_DIRNAME/../../scripts/shards" -n 2 -i 0 "$DATA/text.en.npy" out.npy "${decode[@]}" &
  on "$B" "$BATS_TEST_DIRNAME/../../scripts/shards" -n 2 -i 1 "$DATA/text.en.npy" out.npy "${decode[@]}"
  wait $!
  "${decode[@]}" "$DATA/text.en.npy" | cmp - out.npy
}

@test "training: the curve of one process; with bf16 near it, half the bytes on the cable, twice the same file" {
  words=(--source "$DATA/text.en.npy" --target "$DATA/text.de.npy" --tokenizer "$DATA/tok.model" --width 64 --heads 4 --inner 128 --encoder-layers 1
    --decoder-layers 1 --clip-norm 1 --warmup 20 --batch-tokens 500 --quiet --threads 1 --steps 20 --log-every 5)
  sent() { on "$A" cat "/sys/class/net/$A/statistics/tx_bytes"; }
  train "${words[@]}" --log one.tsv -o one.h5
  before=$(sent)
  both 1 train "${words[@]}" --log two.tsv -o two.h5
  between=$(sent)
  both 1 train "${words[@]}" --reduce bf16 --log bf16.tsv -o bf16.h5
  after=$(sent)
  both 1 train "${words[@]}" --reduce bf16 -o again.h5
  cmp bf16.h5 again.h5
  near() {  # near A.tsv B.tsv SHARE
    paste "$1" "$2" | awk -F'\t' -v share="$3" 'NR > 1 && ($3 - $14) ^ 2 > (share * $3) ^ 2 { print; bad = 1 } END { exit bad || NR < 4 }'
  }
  near one.tsv two.tsv 1e-4
  near one.tsv bf16.tsv 5e-3
  echo "float32: $((between - before)) bytes, bf16: $((after - between))"
  ((10 * (after - between) < 7 * (between - before)))
}
