// without libtorch
#include "apps/ritz/commands/data_fashion_mnist.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "apps/ritz/frame/run.h"
#include "ritz/base/error.h"
#include "ritz/io/array_file.h"

namespace ritz::app {

void DataFashionMnist::run(Run& run) const {
  constexpr std::string_view kFiles[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
  const std::string out = run.common.out + "/";
  for (const auto name : kFiles) {
    const std::string source = from + "/" + std::string(name) + ".gz";
    if (!std::filesystem::exists(source)) {
      throw DataError("Fashion-MNIST", "Debian's package dataset-fashion-mnist", "no such file",
                      source);
    }
  }
  std::error_code error;
  std::filesystem::create_directories(run.common.out, error);
  if (error) throw DataError("--out", "a folder that can be made", error.message(), run.common.out);
  for (const auto name : kFiles) run.check_target(out + std::string(name));
  Json files = Json::array();
  for (const auto name : kFiles) {
    const std::string source = from + "/" + std::string(name) + ".gz";
    const auto array = io::read_array(source);
    run.input(source, array);
    io::write_arrays(out + std::string(name), {array}, {.force = run.common.force});
    files.push_back(name);
    run.text() << out << name << "  " << io::describe(array) << '\n';
  }
  run.json()["files"] = files;
}

}  // namespace ritz::app
