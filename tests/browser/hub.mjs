export const HUB_CHECKS = {};
