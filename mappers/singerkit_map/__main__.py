from singerkit_map.command import main

main()
