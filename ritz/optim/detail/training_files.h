#pragma once
// The files of a training run: logs that continue without duplicates, and the checkpoint.
#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "ritz/base/timer.h"
#include "ritz/optim/optimizer.h"

namespace ritz::optim::detail {

/// A CSV file with a row a step, the step in its first column.
class StepLog {
 public:
  StepLog() = default;  // writes nothing
  /// Starts the file anew, or, where `keep_to` > 0, goes on after its row of that step: later rows,
  /// and one cut short by a kill, are dropped. DataError where an old file has other columns.
  StepLog(const std::string& path, const std::vector<std::string>& columns, int64_t keep_to);
  /// Values that are not finite are empty cells. Rows reach the file once a second, for who watches
  /// it.
  void row(int64_t step, const std::vector<double>& values);
  /// Hands what was written to the system; SystemFailure where it is full.
  void flush();

 private:
  std::string path_;
  std::ofstream file_;
  Timer since_flush_;
};

struct Checkpoint {
  std::map<std::string, std::string> facts;  // metadata: step, times, identity, ...
  std::vector<NamedTensor> tensors;
};

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint);
/// Throws DataError where the file is not one of ritz's checkpoints.
Checkpoint read_checkpoint(const std::string& path);

/// The tensors whose name begins with `prefix`, without it; and the reverse.
std::vector<NamedTensor> with_prefix_removed(const std::vector<NamedTensor>& tensors,
                                             const std::string& prefix);
void append_with_prefix(std::vector<NamedTensor>& tensors, const std::string& prefix,
                        const std::vector<NamedTensor>& more);

}  // namespace ritz::optim::detail
