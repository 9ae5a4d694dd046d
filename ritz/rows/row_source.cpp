#include "ritz/rows/row_source.h"

#include <fcntl.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ritz/base/check.h"
#include "ritz/base/mapped_file.h"
#include "ritz/dist/sharded_sum.h"
#include "ritz/io/array_file.h"
#include "ritz/io/csv.h"
#include "ritz/io/npy.h"
#include "ritz/io/npz.h"
#include "ritz/io/tensor.h"

namespace ritz::rows {
namespace {

int64_t rows_in(int64_t bytes, int64_t row_bytes) {
  return std::max<int64_t>(1, bytes / std::max<int64_t>(1, row_bytes));
}

/// Numbers a stream can take, exactly.
Tensor as_floating(const Tensor& values) {
  if (values.is_floating_point()) return values;
  const bool exact = values.element_size() <= 2;
  return values.to(exact ? torch::kFloat32 : torch::kFloat64);
}

void check_real(const Tensor& values, const std::string& path) {
  if (values.is_complex()) throw DataError("rows", "real numbers", "complex ones", path);
}

/// A matrix that lies in memory or in a mapped file.
class ArraySource : public RowSource {
 public:
  /// `file`, where the array is a view of it: its pages are given back behind the read.
  ArraySource(const io::Array& array, std::shared_ptr<const MappedFile> file,
              const std::string& path, const RowSourceOptions& options)
      : name_(io::name_of(array.dtype)), file_(std::move(file)) {
    if (array.shape.size() < 2 || array.count() == 0)
      throw DataError("rows", "a matrix of one or more rows", io::describe(array), path);
    matrix_ = io::to_tensor(array).flatten(1);
    check_real(matrix_, path);
    const auto shard = dist::shard_of(matrix_.size(0), options.rank, options.world_size);
    at_ = begin_ = shard.begin;
    end_ = shard.end;
    step_ = rows_in(options.batch_bytes, matrix_.size(1) * matrix_.element_size());
    if (file_ == nullptr) return;
    const auto* first = array.data;
    const bool inside =
        first >= file_->data() && first + array.bytes() <= file_->data() + file_->size();
    if (!inside) file_.reset();  // converted on the way: no longer the file's own bytes
  }
  int64_t cols() const override { return matrix_.size(1); }
  int64_t rows() const override { return matrix_.size(0); }
  int64_t begin() const override { return begin_; }
  int64_t end() const override { return end_; }
  std::string dtype() const override { return name_; }

  bool next(RowBatch& batch) override {
    batch = {};
    if (file_ != nullptr && at_ > given_) release(given_, at_);
    given_ = at_;
    if (at_ >= end_) return false;
    const int64_t count = std::min(step_, end_ - at_);
    batch.dense = as_floating(matrix_.narrow(0, at_, count));
    at_ += count;
    return true;
  }

 private:
  void release(int64_t from, int64_t to) const {
    const auto offset = static_cast<size_t>(
        static_cast<const std::byte*>(matrix_.const_data_ptr()) - file_->data());
    const auto row = static_cast<size_t>(matrix_.size(1) * matrix_.element_size());
    file_->release(offset + static_cast<size_t>(from) * row,
                   offset + static_cast<size_t>(to) * row);
  }

  std::string name_;
  std::shared_ptr<const MappedFile> file_;
  Tensor matrix_;
  int64_t begin_ = 0, end_ = 0, at_ = 0, given_ = 0, step_ = 1;
};

class SparseSource : public RowSource {
 public:
  SparseSource(const std::string& path, const RowSourceOptions& options) {
    const auto csr = io::read_csr_npz(path);
    if (csr.rows == 0 || csr.cols == 0)
      throw DataError("rows", "a matrix of one or more rows",
                      std::to_string(csr.rows) + " x " + std::to_string(csr.cols), path);
    name_ = io::name_of(csr.data.dtype);
    Tensor values = io::to_tensor(csr.data);
    check_real(values, path);
    values = as_floating(values);
    if (values.element_size() < 4) values = values.to(torch::kFloat32);
    matrix_ = {io::to_tensor(csr.indptr), io::to_tensor(csr.indices), values, csr.cols};
    const auto shard = dist::shard_of(csr.rows, options.rank, options.world_size);
    at_ = begin_ = shard.begin;
    end_ = shard.end;
  }
  int64_t cols() const override { return matrix_.cols; }
  int64_t rows() const override { return matrix_.rows(); }
  int64_t begin() const override { return begin_; }
  int64_t end() const override { return end_; }
  std::string dtype() const override { return name_; }

  bool next(RowBatch& batch) override {
    batch = {};
    if (at_ >= end_) return false;
    const int64_t count = std::min<int64_t>(4096, end_ - at_);
    batch.sparse = in_order(matrix_.slice(at_, count));
    at_ += count;
    return true;
  }

 private:
  std::string name_;
  SparseRows matrix_;
  int64_t begin_ = 0, end_ = 0, at_ = 0;
};

/// A file or standard input, read from front to back.
class Pipe {
 public:
  explicit Pipe(const std::string& path)
      : path_(path),
        descriptor_(path == "-" ? ::dup(STDIN_FILENO)
                                : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw DataError("rows", "a readable file", std::strerror(errno), path);
  }
  ~Pipe() { ::close(descriptor_); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  /// Fills the buffer as far as there is something; how many bytes.
  size_t read(void* buffer, size_t size) const {
    size_t done = 0;
    while (done < size) {
      const ssize_t n = ::read(descriptor_, static_cast<char*>(buffer) + done, size - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw DataError("rows", "a readable file", std::strerror(errno), path_);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

 private:
  std::string path_;
  int descriptor_;
};

class RawPipe : public RowSource {
 public:
  RawPipe(const std::string& path, const RowSourceOptions& options)
      : pipe_(path), path_(path), name_(options.raw), columns_(options.columns) {
    const auto type = options.raw == "float32" ? torch::kFloat32 : torch::kFloat64;
    const int64_t row = columns_ * (type == torch::kFloat32 ? 4 : 8);
    buffer_ = torch::empty({rows_in(options.batch_bytes / 8, row), columns_}, type);
  }
  int64_t cols() const override { return columns_; }
  int64_t rows() const override { return -1; }
  std::string dtype() const override { return name_; }

  bool next(RowBatch& batch) override {
    batch = {};
    const auto row = static_cast<size_t>(columns_ * buffer_.element_size());
    const size_t bytes = pipe_.read(buffer_.mutable_data_ptr(), row * buffer_.size(0));
    if (bytes % row != 0)
      throw DataError("raw rows", "whole rows of " + std::to_string(row) + " bytes",
                      std::to_string(bytes % row) + " bytes of one", path_);
    if (bytes == 0) return false;
    batch.dense = buffer_.narrow(0, 0, static_cast<int64_t>(bytes / row));
    return true;
  }

 private:
  Pipe pipe_;
  std::string path_, name_;
  int64_t columns_;
  Tensor buffer_;
};

class CsvSource : public RowSource {
 public:
  CsvSource(const std::string& path, const RowSourceOptions& options)
      : pipe_(path),
        reader_([this](char* buffer, size_t size) { return pipe_.read(buffer, size); },
                path == "-" ? "standard input" : path),
        step_(rows_in(options.batch_bytes / 8, 8 * reader_.columns())) {}
  int64_t cols() const override { return reader_.columns(); }
  int64_t rows() const override { return -1; }
  std::string dtype() const override { return "float64"; }

  bool next(RowBatch& batch) override {
    batch = {};
    const int64_t count = reader_.read(step_, values_);
    if (count == 0) return false;
    batch.dense = torch::from_blob(values_.data(), {count, cols()}, torch::kFloat64);
    return true;
  }

 private:
  Pipe pipe_;
  io::CsvReader reader_;
  int64_t step_;
  std::vector<double> values_;
};

bool is_file(const std::string& path) {
  return path != "-" && !path.starts_with("/dev/") && !path.starts_with("/proc/self/fd/");
}

std::unique_ptr<RowSource> open_raw(const std::string& path, const RowSourceOptions& options) {
  check_at_least("columns", options.columns, 1);
  if (options.raw != "float32" && options.raw != "float64")
    throw InvalidArgument("raw", "float32 or float64", options.raw);
  if (!is_file(path)) return std::make_unique<RawPipe>(path, options);
  auto file = MappedFile::open(path);
  io::Array array{.name = "",
                  .shape = {0, options.columns},
                  .dtype = options.raw == "float32" ? io::DType::float32 : io::DType::float64,
                  .data = file->data(),
                  .owner = file};
  const size_t row = static_cast<size_t>(options.columns) * io::size_of(array.dtype);
  if (file->size() % row != 0)
    throw DataError("raw rows", "whole rows of " + std::to_string(row) + " bytes",
                    std::to_string(file->size()) + " bytes", path);
  array.shape[0] = static_cast<int64_t>(file->size() / row);
  return std::make_unique<ArraySource>(array, std::move(file), path, options);
}

}  // namespace

int64_t RowBatch::rows() const {
  return dense.defined() ? dense.size(0) : sparse.rows();
}

std::unique_ptr<RowSource> open_rows(const std::string& path, const RowSourceOptions& options) {
  const auto alone = [&] {
    if (options.world_size > 1)
      throw Unsupported(
          format_error("rows", "a file whose rows can be shared out over ranks", path));
  };
  if (!options.raw.empty()) {
    if (!is_file(path)) alone();
    return open_raw(path, options);
  }
  if (!is_file(path) || path.ends_with(".csv")) {
    alone();
    return std::make_unique<CsvSource>(path, options);
  }
  if (path.ends_with(".npy")) {
    auto file = MappedFile::open(path);
    const auto array = io::parse_npy({{file->data(), file->size()}, file}, "", path);
    return std::make_unique<ArraySource>(array, std::move(file), path, options);
  }
  if (path.ends_with(".npz") && io::is_sparse_npz(io::list_arrays(path)))
    return std::make_unique<SparseSource>(path, options);
  return std::make_unique<ArraySource>(io::read_array(path), nullptr, path, options);
}

}  // namespace ritz::rows
