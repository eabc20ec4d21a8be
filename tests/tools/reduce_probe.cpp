// A program that mpirun starts, for the tests of lib/train: reduce_probe IN.npy OUT.npy. Rank r reads record r of IN
// (n,) float32; OUT gets their sum in bfloat16, as all ranks have it, one record each.
#include <vector>

#include "io/stream.hpp"
#include "train/communicator.hpp"

using namespace pipeformer;

int main(int, char** argv) {
  const auto ranks = Communicator::open();
  const auto reader = RecordReader::open(argv[1]);
  Array record;
  for (int r = 0; r <= ranks->rank(); ++r) reader->next(record);
  ranks->set_bfloat16_gradients(true);
  ranks->sum_gradients(record.values<float>());
  if (!ranks->first()) {
    ranks->send(0, 0, record.bytes);
    return 0;
  }
  const auto writer = RecordWriter::open(argv[2]);
  writer->write(record);
  for (int r = 1; r < ranks->size(); ++r) writer->write(record.dtype, record.shape, ranks->receive(r, 0).data());
  writer->close();
}
