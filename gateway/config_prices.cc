#include "gateway/config_prices.h"

namespace coldshelf {

// NOLINTNEXTLINE(bugprone-macro-parentheses)
#define PRICE(path)                                               \
  {                                                               \
    "prices." #path, +[](Prices& p) -> double& { return p.path; } \
  }
// NOLINTNEXTLINE(bugprone-macro-parentheses)
#define NAMED(name, path)                                        \
  {                                                              \
    "prices." name, +[](Prices& p) -> double& { return p.path; } \
  }

std::vector<PriceKey> price_keys() {
  return {
      PRICE(standard.gb_month),
      PRICE(standard.put_per_1000),
      PRICE(standard.get_per_1000),
      PRICE(standard_ia.gb_month),
      PRICE(standard_ia.put_per_1000),
      PRICE(standard_ia.get_per_1000),
      PRICE(standard_ia.retrieval_per_gb),
      PRICE(onezone_ia.gb_month),
      PRICE(onezone_ia.put_per_1000),
      PRICE(onezone_ia.get_per_1000),
      PRICE(onezone_ia.retrieval_per_gb),
      PRICE(intelligent_tiering.gb_month),
      PRICE(intelligent_tiering.put_per_1000),
      PRICE(intelligent_tiering.get_per_1000),
      NAMED("intelligent_tiering.monitoring_per_1000", intelligent_tiering_monitoring_per_1000),
      PRICE(glacier_ir.gb_month),
      PRICE(glacier_ir.put_per_1000),
      PRICE(glacier_ir.get_per_1000),
      PRICE(glacier_ir.retrieval_per_gb),
      PRICE(glacier.gb_month),
      PRICE(glacier.put_per_1000),
      PRICE(glacier.get_per_1000),
      NAMED("glacier.expedited_per_gb", glacier.expedited.per_gb),
      NAMED("glacier.expedited_per_1000", glacier.expedited.per_1000),
      NAMED("glacier.standard_per_gb", glacier.standard.per_gb),
      NAMED("glacier.standard_per_1000", glacier.standard.per_1000),
      NAMED("glacier.bulk_per_gb", glacier.bulk.per_gb),
      NAMED("glacier.bulk_per_1000", glacier.bulk.per_1000),
      PRICE(deep_archive.gb_month),
      PRICE(deep_archive.put_per_1000),
      PRICE(deep_archive.get_per_1000),
      NAMED("deep_archive.standard_per_gb", deep_archive.standard.per_gb),
      NAMED("deep_archive.standard_per_1000", deep_archive.standard.per_1000),
      NAMED("deep_archive.bulk_per_gb", deep_archive.bulk.per_gb),
      NAMED("deep_archive.bulk_per_1000", deep_archive.bulk.per_1000),
  };
}
#undef PRICE
#undef NAMED

}  // namespace coldshelf
