#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "ritz/base/check.h"
#include "ritz/io/safetensors.h"
#include "ritz/io/tensor.h"
#include "ritz/optim/detail/training_files.h"

namespace ritz::optim::detail {

namespace {

constexpr const char* kFormat = "ritz training checkpoint 1";

std::string joined(const std::vector<std::string>& columns) {
  std::string line = "step";
  for (const auto& column : columns) line += "," + column;
  return line;
}

}  // namespace

StepLog::StepLog(const std::string& path, const std::vector<std::string>& columns, int64_t keep_to)
    : path_(path) {
  const std::string head = joined(columns);
  if (keep_to > 0) {
    std::ifstream old(path, std::ios::binary);
    std::string line;
    if (!std::getline(old, line) || line != head) {
      throw DataError("log", "the columns " + head, line.empty() ? "none" : line, path);
    }
    int64_t kept = 0;
    auto end = old.tellg();
    while (kept < keep_to && std::getline(old, line) && !old.eof()) {
      kept = std::strtoll(line.c_str(), nullptr, 10);
      if (kept <= keep_to) end = old.tellg();
    }
    if (kept != keep_to) {
      throw DataError("log",
                      "a row for each step up to the checkpoint's " + std::to_string(keep_to),
                      "rows up to " + std::to_string(kept), path);
    }
    old.close();
    std::filesystem::resize_file(path, static_cast<uintmax_t>(end));
    file_.open(path, std::ios::binary | std::ios::app);
  } else {
    file_.open(path, std::ios::binary | std::ios::trunc);
    file_ << head << '\n';
  }
  flush();
}

void StepLog::row(int64_t step, const std::vector<double>& values) {
  if (path_.empty()) return;
  file_ << step;
  for (const double value : values) {
    file_ << ',';
    if (std::isfinite(value)) file_ << number_text(value);
  }
  file_ << '\n';
  if (since_flush_.seconds() > 1) flush();
}

void StepLog::flush() {
  if (path_.empty()) return;
  since_flush_.restart();
  file_.flush();
  if (!file_) throw SystemFailure("cannot write " + path_);
}

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  std::vector<io::Array> arrays;
  for (const auto& [name, value] : checkpoint.tensors) {
    arrays.push_back(io::to_array(name, value.detach()));
  }
  auto facts = checkpoint.facts;
  facts["format"] = kFormat;
  io::write_safetensors(path, arrays, facts, /*force=*/true);
}

Checkpoint read_checkpoint(const std::string& path) {
  auto file = io::read_safetensors(path);
  if (file.metadata["format"] != kFormat) {
    throw DataError("checkpoint", std::string("format \"") + kFormat + '"',
                    '"' + file.metadata["format"] + '"', path);
  }
  Checkpoint checkpoint{std::move(file.metadata), {}};
  for (const auto& array : file.arrays) {
    checkpoint.tensors.push_back({array.name, io::to_tensor(array)});
  }
  return checkpoint;
}

std::vector<NamedTensor> with_prefix_removed(const std::vector<NamedTensor>& tensors,
                                             const std::string& prefix) {
  std::vector<NamedTensor> found;
  for (const auto& [name, value] : tensors) {
    if (name.starts_with(prefix)) found.push_back({name.substr(prefix.size()), value});
  }
  return found;
}

void append_with_prefix(std::vector<NamedTensor>& tensors, const std::string& prefix,
                        const std::vector<NamedTensor>& more) {
  for (const auto& [name, value] : more) tensors.push_back({prefix + name, value});
}

}  // namespace ritz::optim::detail
