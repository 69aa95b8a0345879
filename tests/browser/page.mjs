export const PAGE_CHECKS = {};
